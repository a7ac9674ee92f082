package ondol.gateway;

import java.nio.file.Path;
import java.time.Duration;

import org.springframework.boot.context.properties.ConfigurationProperties;

/**
 * How tokens are verified, and where the identity stands in them: {@code gateway.token} of application.yml.
 *
 * @param algorithm HS256, RS256 or ES256. A token that names another one is refused
 * @param key       a file: a secret of at least 32 bytes, or a public key in PEM
 * @param jwks      instead of a key, the URL of a JSON Web Key Set
 * @param issuer    the {@code iss} that a token must have. Empty: any
 * @param audience  the {@code aud} that a token must have. Empty: any
 * @param leeway    by how much clocks may differ
 * @param cookie    the cookie that may carry a token. Empty: none
 * @param claims    the claims that hold the identity
 */
@ConfigurationProperties("gateway.token")
public record TokenSettings(Algorithm algorithm, Path key, String jwks, String issuer, String audience, Duration leeway,
        String cookie, Claims claims) {

    /** The algorithms, each with its kind of key. */
    public enum Algorithm {
        HS256, RS256, ES256
    }

    /** The names of claims. */
    public record Claims(String userId, String nickname, String email, String profileUrl) {
    }
}
