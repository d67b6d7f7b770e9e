"""What there is, where it is kept, and how it is read by URI. Never the network."""
