"""Why a request does not wait for ever: what decisions and orders owe, and the theorems of policies.

Guarantees: a theorem stands only if every obligation that it rests on was asked and is proved.
"""
