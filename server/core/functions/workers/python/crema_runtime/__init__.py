"""Serves calls of the server. Functions do not import this; they import skygear."""
