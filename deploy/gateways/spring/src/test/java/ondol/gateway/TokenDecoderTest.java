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
import java.util.List;

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

        ReactiveJwtDecoder decoder = decoder("", "k=RS256:" + write(pem(rsa.toRSAPublicKey())));
        assertThat(decoder.decode(byRsa).block().getSubject()).isEqualTo("u1");
        refused(decoder, byEc);
        refused(decoder, confused);
        refused(decoder, sign(JWSAlgorithm.RS512, new RSASSASigner(rsa)));
        decoder = decoder("", "k=ES256:" + write(pem(ec.toECPublicKey())));
        assertThat(decoder.decode(byEc).block().getSubject()).isEqualTo("u1");
        refused(decoder, byRsa);
    }

    @Test
    void aKeySetIsFetched() throws Exception {
        ECKey ec = new ECKeyGenerator(Curve.P_256).keyID("k").generate();
        String set = new JWKSet(ec.toPublicJWK()).toString();
        DisposableServer server = HttpServer.create().host("127.0.0.1").port(0)
                .handle((request, response) -> response.sendString(Mono.just(set))).bindNow();
        ReactiveJwtDecoder decoder = decoder("http://127.0.0.1:" + server.port());
        assertThat(decoder.decode(sign(JWSAlgorithm.ES256, new ECDSASigner(ec))).block().getSubject()).isEqualTo("u1");
        refused(decoder, sign(JWSAlgorithm.ES256, new ECDSASigner(new ECKeyGenerator(Curve.P_256).generate())));
        server.disposeNow();
    }

    @Test
    void aTokenIsNotToBlameForKeysThatCannotBeFetched() throws Exception {
        ReactiveJwtDecoder decoder = decoder("http://127.0.0.1:1");
        String token = sign(JWSAlgorithm.ES256, new ECDSASigner(new ECKeyGenerator(Curve.P_256).generate()));
        assertThatExceptionOfType(IllegalStateException.class).isThrownBy(() -> decoder.decode(token).block());
    }

    @Test
    void oneOfSeveralKeysVerifiesAToken() throws Exception {
        ECKey old = new ECKeyGenerator(Curve.P_256).generate();
        ECKey fresh = new ECKeyGenerator(Curve.P_256).generate();
        ReactiveJwtDecoder decoder = decoder("", "old=ES256:" + write(pem(old.toECPublicKey())),
                " k=ES256:" + write(pem(fresh.toECPublicKey())));
        assertThat(decoder.decode(sign(JWSAlgorithm.ES256, new ECDSASigner(fresh))).block().getSubject()).isEqualTo("u1");
        refused(decoder, sign(JWSAlgorithm.ES256, new ECDSASigner(old)));
        SignedJWT unnamed = new SignedJWT(new JWSHeader(JWSAlgorithm.ES256), claims());
        unnamed.sign(new ECDSASigner(old));
        assertThat(decoder.decode(unnamed.serialize()).block().getSubject()).isEqualTo("u1");
    }

    @Test
    void settingsThatDoNotFitAreNamed() {
        assertThatIllegalArgumentException().isThrownBy(() -> decoder("", "k=HS256:" + write("short")))
                .withMessageContaining("32 bytes");
        assertThatIllegalArgumentException().isThrownBy(() -> decoder("")).withMessageContaining("gateway.token.keys");
        assertThatIllegalArgumentException().isThrownBy(() -> decoder("http://127.0.0.1:1", "k=HS256:/x"))
                .withMessageContaining("not both");
        for (String setting : new String[] {"/x", "k=/x", "k=HS512:/x", "k=ES256:/does/not/exist"}) {
            assertThatIllegalArgumentException().isThrownBy(() -> decoder("", setting));
        }
        assertThatIllegalArgumentException().isThrownBy(() -> decoder("", "k=RS256:" + write("no key")));
    }

    private static void refused(ReactiveJwtDecoder decoder, String token) {
        assertThatExceptionOfType(BadJwtException.class).isThrownBy(() -> decoder.decode(token).block());
    }

    private static ReactiveJwtDecoder decoder(String jwks, String... keys) {
        return new TokenDecoder().decoder(new TokenSettings(List.of(keys), jwks, "", "", Duration.ZERO, "", null));
    }

    private Path write(String text) throws Exception {
        return Files.writeString(Files.createTempFile(directory, "key", ""), text);
    }

    private static String pem(Key key) {
        String body = Base64.getMimeEncoder().encodeToString(key.getEncoded());
        return "-----BEGIN PUBLIC KEY-----\n" + body + "\n-----END PUBLIC KEY-----\n";
    }

    private static String sign(JWSAlgorithm algorithm, JWSSigner signer) throws Exception {
        SignedJWT token = new SignedJWT(new JWSHeader.Builder(algorithm).keyID("k").build(), claims());
        token.sign(signer);
        return token.serialize();
    }

    private static JWTClaimsSet claims() {
        return new JWTClaimsSet.Builder().subject("u1").expirationTime(Date.from(Instant.now().plusSeconds(60))).build();
    }
}
