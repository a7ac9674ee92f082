package ondol.gateway;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

import com.nimbusds.jose.proc.SecurityContext;
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
    @Bean
    ReactiveJwtDecoder decoder(TokenSettings settings) {
        if (settings.keys().isEmpty() != StringUtils.hasText(settings.jwks())) {
            throw new IllegalArgumentException("set gateway.token.keys or gateway.token.jwks, and not both");
        }
        return settings.keys().isEmpty() ? ofKeySet(settings) : ofKeys(settings);
    }

    private static ReactiveJwtDecoder ofKeySet(TokenSettings settings) {
        NimbusReactiveJwtDecoder decoder = NimbusReactiveJwtDecoder.withJwkSetUri(settings.jwks())
                .jwsAlgorithm(SignatureAlgorithm.RS256).jwsAlgorithm(SignatureAlgorithm.ES256).build();
        decoder.setJwtValidator(validator(settings));
        return decoder;
    }

    private static ReactiveJwtDecoder ofKeys(TokenSettings settings) {
        List<TokenKey> keys = settings.keys().stream().map(TokenKey::read).toList();
        DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();
        processor.setJWSKeySelector((header, context) ->
                keys.stream().filter(key -> key.fits(header)).map(TokenKey::key).toList());
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
}
