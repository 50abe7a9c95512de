"""What ``refode validate`` proves, a part a module."""
