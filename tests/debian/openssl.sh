# openssl: keys, digests, ciphers, several processes at once.
openssl version | cut -d' ' -f1; printf text | openssl dgst -sha256; printf text | openssl enc -aes-256-cbc -pbkdf2 -k secret -S 0011223344556677 -a; printf text | openssl enc -chacha20 -K 00 -iv 00 2>/dev/null | od -An -tx1
openssl genpkey -algorithm ED25519 -out key.pem 2>/dev/null; openssl pkey -in key.pem -pubout -out public.pem; echo signed >message; openssl pkeyutl -sign -inkey key.pem -rawin -in message -out signature; openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in message -sigfile signature
openssl req -x509 -key key.pem -subj /CN=test -days 1 -out certificate.pem; openssl verify -CAfile certificate.pem certificate.pem; openssl rand -hex 8 | wc -c; openssl prime 1000003
openssl speed -seconds 1 -bytes 1024 -multi 2 sha256 2>/dev/null | grep -c sha256; openssl speed -seconds 1 -bytes 1024 -evp aes-128-gcm 2>/dev/null | grep -ci aes
