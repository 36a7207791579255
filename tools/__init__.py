"""The two harnesses: chaos (fault injection) and bench (measurements).

They share with the tests what starts processes, makes messages and runs AWS's emulator, and import it from
`tests`: neither is deployed or installed, and what is imports from neither (`tests/tools/test_layers.py`).
"""
