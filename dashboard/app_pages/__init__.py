"""The pages: each chooses what to show; how it looks is in `components`, what it says in `views`."""
