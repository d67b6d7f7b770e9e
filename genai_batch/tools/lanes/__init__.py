"""How a job is carried out."""
