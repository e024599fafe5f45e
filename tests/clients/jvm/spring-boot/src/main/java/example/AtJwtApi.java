// src/main/java/example/AtJwtApi.java
package example;

import java.util.List;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.annotation.Order;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.jwt.JwtAudienceValidator;
import org.springframework.security.oauth2.jwt.JwtIssuerValidator;
import org.springframework.security.oauth2.jwt.JwtTimestampValidator;
import org.springframework.security.oauth2.jwt.JwtTypeValidator;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.web.SecurityFilterChain;

@Configuration
class AtJwtApi {
    @Bean
    @Order(2)
    SecurityFilterChain atJwtChain(HttpSecurity http, @Value("${ISSUER}") String issuer)
            throws Exception {
        var decoder = NimbusJwtDecoder.withIssuerLocation(issuer).validateType(false).build();
        decoder.setJwtValidator(new DelegatingOAuth2TokenValidator<>(
            new JwtTypeValidator(List.of("at+jwt", "JWT")),
            new JwtIssuerValidator(issuer),
            new JwtAudienceValidator("https://api.example.gov.tw"),
            new JwtTimestampValidator()));
        return http
            .securityMatcher("/v2/**")
            .authorizeHttpRequests(r -> r.anyRequest().hasAuthority("SCOPE_transport:read"))
            .oauth2ResourceServer(o -> o.jwt(j -> j.decoder(decoder)))
            .build();
    }
}
