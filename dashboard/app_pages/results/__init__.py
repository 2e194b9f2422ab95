"""How good is the model, compared with what?"""
