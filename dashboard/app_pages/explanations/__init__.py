"""Do explanations point at what matters, and how fast is an answer?"""
