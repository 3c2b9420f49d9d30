#!/usr/bin/env python3
"""Writes openssl_esp.json: ESP packets made with OpenSSL's primitives (by way
of the Python package cryptography) for the suites that have no published
packets. Everything is derived from a counter, so a run gives the same file."""
import hashlib, hmac, json, os
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.cmac import CMAC

counter = 0


def octets(n):
    global counter
    counter += 1
    return hashlib.shake_128(b"esp %d" % counter).digest(n)


def trailer(payload, align, next_header):
    pad = -(len(payload) + 2) % align
    return payload + bytes(range(1, pad + 1)) + bytes([pad, next_header])


def aes_cmac(key, data):
    c = CMAC(algorithms.AES(key))
    c.update(data)
    return c.finalize()


# transform id: (key or 0 for AES sizes, salt, ICV)
AEADS = {14: (0, 3, 8), 15: (0, 3, 12), 16: (0, 3, 16), 18: (0, 4, 8), 19: (0, 4, 12), 20: (0, 4, 16),
         21: (0, 4, 16), 28: (32, 4, 16), 29: (0, 3, 8), 30: (0, 4, 16), 31: (32, 4, 16)}
MACS = {1: (16, 12, lambda k, d: hmac.digest(k, d, "md5")), 2: (20, 12, lambda k, d: hmac.digest(k, d, "sha1")),
        6: (16, 16, lambda k, d: hmac.digest(k, d, "md5")), 7: (20, 20, lambda k, d: hmac.digest(k, d, "sha1")),
        8: (16, 12, aes_cmac), 12: (32, 16, lambda k, d: hmac.digest(k, d, "sha256")),
        13: (48, 24, lambda k, d: hmac.digest(k, d, "sha384")), 14: (64, 32, lambda k, d: hmac.digest(k, d, "sha512")),
        1026: (32, 12, lambda k, d: hmac.digest(k, d, "sha256"))}
packets = []


def aead(encr, bits, esn, n):
    size, salt, icv = AEADS[encr]
    keymat = octets((size or bits // 8) + salt)
    key, salt = keymat[:-salt], keymat[-salt:]
    spi, seq = octets(4), octets(8) if esn else bytes(4) + octets(4)
    implicit = encr in (29, 30, 31)
    iv = seq if implicit else octets(8)
    payload, nonce = octets(n), salt + iv
    aad = spi + (seq if esn else seq[4:])
    text = trailer(payload, 4, 4)
    if encr in (14, 15, 16, 29):
        sealed = AESCCM(key, tag_length=icv).encrypt(nonce, text, aad)
    elif encr == 21:
        sealed = text + AESGCM(key).encrypt(nonce, b"", aad + iv + text)
    elif encr in (28, 31):
        sealed = ChaCha20Poly1305(key).encrypt(nonce, text, aad)
    else:
        sealed = AESGCM(key).encrypt(nonce, text, aad)[:len(text) + icv]
    packet = spi + seq[4:] + (b"" if implicit else iv) + sealed
    packets.append(dict(encr=encr, bits=bits, integ=0, key=keymat.hex(), auth="", esn=esn, seq=seq.hex(),
                        payload=payload.hex(), packet=packet.hex()))


def separate(encr, bits, integ, esn, n):
    key = octets(bits // 8 + (4 if encr == 13 else 0))
    size, icv, mac = MACS[integ]
    auth = octets(size)
    spi, seq = octets(4), octets(8) if esn else bytes(4) + octets(4)
    payload = octets(n)
    if encr == 12:
        iv, text = octets(16), trailer(payload, 16, 4)
        e = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    else:
        iv, text = octets(8), trailer(payload, 4, 4)
        e = Cipher(algorithms.AES(key[:-4]), modes.CTR(key[-4:] + iv + b"\0\0\0\1")).encryptor()
    packet = spi + seq[4:] + iv + e.update(text) + e.finalize()
    packet += mac(auth, packet + (seq[:4] if esn else b""))[:icv]
    packets.append(dict(encr=encr, bits=bits, integ=integ, key=key.hex(), auth=auth.hex(), esn=esn, seq=seq.hex(),
                        payload=payload.hex(), packet=packet.hex()))


for encr in AEADS:
    for bits in ((0,) if encr in (28, 31) else (128, 192, 256)):
        for esn in (False, True):
            aead(encr, bits, esn, 20 + 3 * len(packets) % 41)
for integ in MACS:
    for esn in (False, True):
        separate(12, 256, integ, esn, 20 + len(packets) % 23)
for bits in (128, 192, 256):
    separate(13, bits, 12, True, 33)

here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "openssl_esp.json"), "w") as f:
    json.dump({"about": "made by openssl_esp.py", "vectors": packets}, f, indent=0)
    f.write("\n")
