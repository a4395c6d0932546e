"""The explorer: an API over runs, and the built pages that show it."""
