"""The vocabulary of the house: values, money, time, errors and protocols. Standard library only."""
