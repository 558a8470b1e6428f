"""The Streamlit dashboard (its pages come with the search service)."""
