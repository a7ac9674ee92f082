package ondol.gateway;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyFactory;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;

import javax.crypto.spec.SecretKeySpec;

import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;

/** A key from a file. Its one algorithm is the operator's choice, whatever a token asks for. */
record TokenKey(String id, JWSAlgorithm algorithm, Key key) {
    private static final int SECRET_BYTES_MIN = 32;

    /** Reads {@code ID=ALGORITHM:FILE}, the form of Ondol's own setting. */
    static TokenKey read(String setting) {
        String[] idAndRest = setting.trim().split("=", 2);
        String[] algorithmAndFile = idAndRest[idAndRest.length - 1].split(":", 2);
        if (idAndRest.length < 2 || algorithmAndFile.length < 2) {
            throw new IllegalArgumentException("gateway.token.keys takes ID=ALGORITHM:FILE");
        }
        Path file = Path.of(algorithmAndFile[1]);
        try {
            Key key = switch (algorithmAndFile[0]) {
                case "HS256" -> secret(file);
                case "RS256" -> publicKey("RSA", file);
                case "ES256" -> publicKey("EC", file);
                default -> throw new IllegalArgumentException("gateway.token.keys takes HS256, RS256 and ES256");
            };
            return new TokenKey(idAndRest[0], JWSAlgorithm.parse(algorithmAndFile[0]), key);
        } catch (IOException | GeneralSecurityException error) {
            throw new IllegalArgumentException("cannot read the key in " + file, error);
        }
    }

    /** Whether this key may verify a token with such a header. A token without {@code kid} is tried with every key. */
    boolean fits(JWSHeader header) {
        return algorithm.equals(header.getAlgorithm()) && (header.getKeyID() == null || header.getKeyID().equals(id));
    }

    /** The secret in a file, without its last line break: the bytes that Ondol reads from the same file. */
    private static Key secret(Path file) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        int length = bytes.length;
        if (length > 0 && bytes[length - 1] == '\n') {
            length -= length > 1 && bytes[length - 2] == '\r' ? 2 : 1;
        }
        if (length < SECRET_BYTES_MIN) {
            throw new IllegalArgumentException(file + " has fewer than " + SECRET_BYTES_MIN + " bytes");
        }
        return new SecretKeySpec(bytes, 0, length, "HmacSHA256");
    }

    private static Key publicKey(String kind, Path file) throws IOException, GeneralSecurityException {
        String pem = Files.readString(file, StandardCharsets.US_ASCII);
        String body = pem.replaceAll("-----(BEGIN|END) PUBLIC KEY-----|\\s", "");
        return KeyFactory.getInstance(kind).generatePublic(new X509EncodedKeySpec(Base64.getDecoder().decode(body)));
    }
}
