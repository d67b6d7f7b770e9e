"""How the tools and resources are offered: MCP, the command line, the offline emulator."""
