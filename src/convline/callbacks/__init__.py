"""Record, draw and save while a network trains, by Lightning callbacks.

A config names a callback by its module, so that a run imports only the callbacks that it uses; this module exports
none.
"""
