"""Reporting: each result as a Markdown table."""
