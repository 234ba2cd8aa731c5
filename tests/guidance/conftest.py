"""Modules beside this file are for the tests of all folders below it."""
