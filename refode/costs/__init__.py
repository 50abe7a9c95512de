"""Terminal costs and regularisers."""
