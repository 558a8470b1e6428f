"""Pure functions: plain data and DataFrames in; DataFrames, charts and sentences out. Nothing here knows Streamlit."""
