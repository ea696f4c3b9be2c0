"""The version of py-skygear whose behaviour this package has."""
__title__ = "skygear"
__version__ = "1.7.1"
