"""Where is it wrong?"""
