"""Record, draw and save while a network trains: Lightning callbacks, one in each file.

A config names a callback by its module, so that a run imports only the callbacks that it uses; nothing is exported
here.
"""
