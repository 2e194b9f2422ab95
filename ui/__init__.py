"""What the creators' page shows and does: sentences, panels, drafts. `app.py` lays it out."""
