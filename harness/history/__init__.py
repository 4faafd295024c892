"""Histories of concurrent clients: is there one order of the operations that explains every answer?"""
