"""waguard: keeps an Azure Linux VM's agent working and says what is wrong when it is not."""

__version__ = "0.1.0"
