"""The SIP edge: carries bytes and time between the network and the registrar core."""
