"""Do picture and words say the same thing, and does that go with engagement?"""
