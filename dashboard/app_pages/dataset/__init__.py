"""What was the model trained on?"""
