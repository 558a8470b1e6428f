"""Parts of pages: they draw with Streamlit what `views` made of plain data."""
