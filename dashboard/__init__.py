"""The researchers' dashboard: what a report says about one run. Start it with `streamlit run dashboard/app.py`."""
