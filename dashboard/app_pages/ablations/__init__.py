"""What does each part earn?"""
