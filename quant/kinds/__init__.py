"""The kinds of layer, a module each: everything that is particular to one stands there.

What every kind must answer is `quant.ir.layer`; nothing outside this room asks a layer which kind it is.
"""
