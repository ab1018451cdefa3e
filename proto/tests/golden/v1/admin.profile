# Profile of a Tocsin console. It contains a private key: keep it secret.
version = 1
name = "admin"
role = "admin"
servers = ["tocsin.example:7443", "[2001:db8::1]:7443"]
ca_certificate = """
-----BEGIN CERTIFICATE-----
Y2E=
-----END CERTIFICATE-----
"""
certificate = """
-----BEGIN CERTIFICATE-----
bGVhZg==
-----END CERTIFICATE-----
"""
private_key = """
-----BEGIN PRIVATE KEY-----
a2V5
-----END PRIVATE KEY-----
"""
