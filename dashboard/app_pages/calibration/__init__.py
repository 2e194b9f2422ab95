"""May its certainty be believed?"""
