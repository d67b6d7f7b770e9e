"""The emulator, tested with the real SDK and over real sockets."""
