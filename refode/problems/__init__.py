"""The survey's three problems."""
