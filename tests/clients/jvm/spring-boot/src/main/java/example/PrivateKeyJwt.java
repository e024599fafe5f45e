// src/main/java/example/PrivateKeyJwt.java
package example;

import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.JWKSet;
import java.io.File;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.interfaces.ECPublicKey;
import java.util.List;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Profile;
import org.springframework.security.oauth2.client.endpoint.AbstractOAuth2AuthorizationGrantRequest;
import org.springframework.security.oauth2.client.endpoint.NimbusJwtClientAuthenticationParametersConverter;
import org.springframework.security.oauth2.client.endpoint.RestClientAuthorizationCodeTokenResponseClient;
import org.springframework.security.oauth2.client.endpoint.RestClientRefreshTokenTokenResponseClient;

@Configuration
@Profile("key")
class PrivateKeyJwt {
    private final JWK key = key();

    /** Prints the public key, for the operator. */
    public static void main(String[] arguments) {
        System.out.println(new JWKSet(key().toPublicJWK()));
    }

    private static JWK key() {
        char[] password = System.getenv("KEY_PASSWORD").toCharArray();
        try {
            var store = KeyStore.getInstance(new File("idp.p12"), password);
            var known = (ECPublicKey) store.getCertificate("idp").getPublicKey();
            return new ECKey.Builder(Curve.P_256, known)
                .privateKey((PrivateKey) store.getKey("idp", password))
                .keyIDFromThumbprint()
                .build();
        } catch (Exception why) {
            throw new IllegalStateException("idp.p12", why);
        }
    }

    @Bean
    RestClientAuthorizationCodeTokenResponseClient codes() {
        var client = new RestClientAuthorizationCodeTokenResponseClient();
        client.addParametersConverter(assertion());
        return client;
    }

    @Bean
    RestClientRefreshTokenTokenResponseClient refreshes() {
        var client = new RestClientRefreshTokenTokenResponseClient();
        client.addParametersConverter(assertion());
        return client;
    }

    private <T extends AbstractOAuth2AuthorizationGrantRequest>
            NimbusJwtClientAuthenticationParametersConverter<T> assertion() {
        var converter = new NimbusJwtClientAuthenticationParametersConverter<T>(client -> key);
        converter.setJwtClientAssertionCustomizer(c -> c.getClaims().audience(List.of(
            c.getAuthorizationGrantRequest().getClientRegistration()
                .getProviderDetails().getIssuerUri())));
        return converter;
    }
}
