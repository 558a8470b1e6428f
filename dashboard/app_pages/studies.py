"""studies."""

import streamlit as st

st.title("studies")
