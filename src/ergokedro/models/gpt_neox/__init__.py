"""GPT-NeoX, the architecture of Pythia: its configuration, its modules and its files."""
