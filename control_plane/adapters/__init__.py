"""What stands behind the ports. Only bootstrap.py and the process entries import from here."""
