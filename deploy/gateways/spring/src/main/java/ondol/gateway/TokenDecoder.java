package ondol.gateway;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyFactory;
import java.security.spec.X509EncodedKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Objects;

import javax.crypto.spec.SecretKeySpec;

import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jose.proc.SingleKeyJWSKeySelector;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtAudienceValidator;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtIssuerValidator;
import org.springframework.security.oauth2.jwt.JwtTimestampValidator;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.oauth2.jwt.NimbusReactiveJwtDecoder;
import org.springframework.security.oauth2.jwt.ReactiveJwtDecoder;
import org.springframework.util.StringUtils;
import reactor.core.publisher.Mono;

/** Makes the decoder that verifies tokens, by Spring Security and Nimbus. */
@Configuration(proxyBeanMethods = false)
class TokenDecoder {
    private static final int SECRET_BYTES_MIN = 32;

    @Bean
    ReactiveJwtDecoder decoder(TokenSettings settings) throws IOException, GeneralSecurityException {
        if (StringUtils.hasText(settings.jwks()) == StringUtils.hasText(Objects.toString(settings.key(), ""))) {
            throw new IllegalArgumentException("set gateway.token.key or gateway.token.jwks, and not both");
        }
        return StringUtils.hasText(settings.jwks()) ? ofKeySet(settings) : ofKey(settings);
    }

    private static ReactiveJwtDecoder ofKeySet(TokenSettings settings) {
        SignatureAlgorithm algorithm = SignatureAlgorithm.from(settings.algorithm().name());
        if (algorithm == null) {
            throw new IllegalArgumentException("a key set holds public keys: set gateway.token.algorithm to RS256 or ES256");
        }
        NimbusReactiveJwtDecoder decoder =
                NimbusReactiveJwtDecoder.withJwkSetUri(settings.jwks()).jwsAlgorithm(algorithm).build();
        decoder.setJwtValidator(validator(settings));
        return decoder;
    }

    private static ReactiveJwtDecoder ofKey(TokenSettings settings) throws IOException, GeneralSecurityException {
        JWSAlgorithm algorithm = JWSAlgorithm.parse(settings.algorithm().name());
        DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();
        processor.setJWSKeySelector(new SingleKeyJWSKeySelector<>(algorithm, key(settings)));
        // The validator below checks the claims.
        processor.setJWTClaimsSetVerifier((claims, context) -> { });
        NimbusJwtDecoder decoder = new NimbusJwtDecoder(processor);
        decoder.setJwtValidator(validator(settings));
        return token -> Mono.fromCallable(() -> decoder.decode(token));
    }

    private static OAuth2TokenValidator<Jwt> validator(TokenSettings settings) {
        List<OAuth2TokenValidator<Jwt>> validators = new ArrayList<>();
        validators.add(new JwtTimestampValidator(settings.leeway()));
        validators.add(new JwtClaimValidator<>("exp", Objects::nonNull));
        if (StringUtils.hasText(settings.issuer())) {
            validators.add(new JwtIssuerValidator(settings.issuer()));
        }
        if (StringUtils.hasText(settings.audience())) {
            validators.add(new JwtAudienceValidator(settings.audience()));
        }
        return new DelegatingOAuth2TokenValidator<>(validators);
    }

    private static Key key(TokenSettings settings) throws IOException, GeneralSecurityException {
        return switch (settings.algorithm()) {
            case HS256 -> secret(settings.key());
            case RS256 -> publicKey("RSA", settings.key());
            case ES256 -> publicKey("EC", settings.key());
        };
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
