"""What is probably wrong: see diagnosis.py."""
