package ondol.gateway;

import java.time.Duration;
import java.util.List;

import org.springframework.boot.context.properties.ConfigurationProperties;

/**
 * How tokens are verified, and where the identity stands in them: {@code gateway.token} of application.yml.
 *
 * @param keys     keys as {@code ID=ALGORITHM:FILE}, with the algorithms HS256 (a file with a secret), RS256 and ES256 (a
 *                 public key in PEM)
 * @param jwks     instead of keys, the URL of a JSON Web Key Set
 * @param issuer   the {@code iss} that a token must have. Empty: any
 * @param audience the {@code aud} that a token must have. Empty: any
 * @param leeway   by how much clocks may differ
 * @param cookie   the cookie that may carry a token. Empty: none
 * @param claims   the claims that hold the identity
 */
@ConfigurationProperties("gateway.token")
public record TokenSettings(List<String> keys, String jwks, String issuer, String audience, Duration leeway, String cookie,
        Claims claims) {

    /** The names of claims. */
    public record Claims(String userId, String nickname, String email, String profileUrl) {
    }
}
