package ondol.gateway;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.nio.file.Files;
import java.nio.file.Path;
import java.security.Key;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Date;

import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSSigner;
import com.nimbusds.jose.crypto.ECDSASigner;
import com.nimbusds.jose.crypto.MACSigner;
import com.nimbusds.jose.crypto.RSASSASigner;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.RSAKey;
import com.nimbusds.jose.jwk.gen.ECKeyGenerator;
import com.nimbusds.jose.jwk.gen.RSAKeyGenerator;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import ondol.gateway.TokenSettings.Algorithm;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.security.oauth2.jwt.BadJwtException;
import org.springframework.security.oauth2.jwt.ReactiveJwtDecoder;
import reactor.core.publisher.Mono;
import reactor.netty.DisposableServer;
import reactor.netty.http.server.HttpServer;

class TokenDecoderTest {
    @TempDir
    private Path directory;

    @Test
    void aPublicKeyVerifiesTokensOfItsAlgorithmAlone() throws Exception {
        RSAKey rsa = new RSAKeyGenerator(2048).generate();
        ECKey ec = new ECKeyGenerator(Curve.P_256).generate();
        String byRsa = sign(JWSAlgorithm.RS256, new RSASSASigner(rsa));
        String byEc = sign(JWSAlgorithm.ES256, new ECDSASigner(ec));
        // The trick with a public key as a secret, which anyone may know.
        String confused = sign(JWSAlgorithm.HS256, new MACSigner(pem(rsa.toRSAPublicKey())));

        ReactiveJwtDecoder decoder = decoder(Algorithm.RS256, write(pem(rsa.toRSAPublicKey())), "");
        assertThat(decoder.decode(byRsa).block().getSubject()).isEqualTo("u1");
        refused(decoder, byEc);
        refused(decoder, confused);
        refused(decoder, sign(JWSAlgorithm.RS512, new RSASSASigner(rsa)));
        decoder = decoder(Algorithm.ES256, write(pem(ec.toECPublicKey())), "");
        assertThat(decoder.decode(byEc).block().getSubject()).isEqualTo("u1");
        refused(decoder, byRsa);
    }

    @Test
    void aKeySetIsFetched() throws Exception {
        ECKey ec = new ECKeyGenerator(Curve.P_256).keyID("k").generate();
        String set = new JWKSet(ec.toPublicJWK()).toString();
        DisposableServer server = HttpServer.create().host("127.0.0.1").port(0)
                .handle((request, response) -> response.sendString(Mono.just(set))).bindNow();
        ReactiveJwtDecoder decoder = decoder(Algorithm.ES256, null, "http://127.0.0.1:" + server.port());
        assertThat(decoder.decode(sign(JWSAlgorithm.ES256, new ECDSASigner(ec))).block().getSubject()).isEqualTo("u1");
        refused(decoder, sign(JWSAlgorithm.ES256, new ECDSASigner(new ECKeyGenerator(Curve.P_256).generate())));
        server.disposeNow();
    }

    @Test
    void aTokenIsNotToBlameForKeysThatCannotBeFetched() throws Exception {
        ReactiveJwtDecoder decoder = decoder(Algorithm.ES256, null, "http://127.0.0.1:1");
        String token = sign(JWSAlgorithm.ES256, new ECDSASigner(new ECKeyGenerator(Curve.P_256).generate()));
        assertThatExceptionOfType(IllegalStateException.class).isThrownBy(() -> decoder.decode(token).block());
    }

    @Test
    void settingsThatDoNotFitAreNamed() {
        assertThatIllegalArgumentException().isThrownBy(() -> decoder(Algorithm.HS256, write("short"), ""))
                .withMessageContaining("32 bytes");
        assertThatIllegalArgumentException().isThrownBy(() -> decoder(Algorithm.RS256, null, ""))
                .withMessageContaining("gateway.token.key");
        assertThatIllegalArgumentException().isThrownBy(() -> decoder(Algorithm.HS256, null, "http://127.0.0.1:1"))
                .withMessageContaining("RS256 or ES256");
    }

    private static void refused(ReactiveJwtDecoder decoder, String token) {
        assertThatExceptionOfType(BadJwtException.class).isThrownBy(() -> decoder.decode(token).block());
    }

    private static ReactiveJwtDecoder decoder(Algorithm algorithm, Path key, String jwks) throws Exception {
        return new TokenDecoder().decoder(new TokenSettings(algorithm, key, jwks, "", "", Duration.ZERO, "", null));
    }

    private Path write(String text) throws Exception {
        return Files.writeString(Files.createTempFile(directory, "key", ""), text);
    }

    private static String pem(Key key) {
        String body = Base64.getMimeEncoder().encodeToString(key.getEncoded());
        return "-----BEGIN PUBLIC KEY-----\n" + body + "\n-----END PUBLIC KEY-----\n";
    }

    private static String sign(JWSAlgorithm algorithm, JWSSigner signer) throws Exception {
        JWTClaimsSet claims = new JWTClaimsSet.Builder().subject("u1")
                .expirationTime(Date.from(Instant.now().plusSeconds(60))).build();
        SignedJWT token = new SignedJWT(new JWSHeader.Builder(algorithm).keyID("k").build(), claims);
        token.sign(signer);
        return token.serialize();
    }
}
