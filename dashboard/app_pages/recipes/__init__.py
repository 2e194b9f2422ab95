"""Would another recipe, other folds or another size do better?"""
