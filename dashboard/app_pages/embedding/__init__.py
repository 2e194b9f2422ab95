"""What does the adapter do to the vectors?"""
