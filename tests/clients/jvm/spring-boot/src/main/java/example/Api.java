// src/main/java/example/Api.java
package example;

import static org.springframework.security.config.Customizer.withDefaults;

import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.annotation.Order;
import org.springframework.expression.spel.standard.SpelExpressionParser;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.oauth2.server.resource.authentication.DelegatingJwtGrantedAuthoritiesConverter;
import org.springframework.security.oauth2.server.resource.authentication.ExpressionJwtGrantedAuthoritiesConverter;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationConverter;
import org.springframework.security.oauth2.server.resource.authentication.JwtGrantedAuthoritiesConverter;
import org.springframework.security.web.SecurityFilterChain;

@Configuration
class Api {
    @Bean
    @Order(1)
    SecurityFilterChain apiChain(HttpSecurity http) throws Exception {
        return http
            .securityMatcher("/v1/**")
            .authorizeHttpRequests(r -> r
                .requestMatchers("/v1/admin/**").hasRole("admin")
                .anyRequest().hasAuthority("SCOPE_transport:read"))
            .oauth2ResourceServer(o -> o.jwt(withDefaults()))
            .build();
    }

    @Bean
    JwtAuthenticationConverter scopesAndRoles() {
        var roles = new ExpressionJwtGrantedAuthoritiesConverter(
            new SpelExpressionParser().parseRaw("[realm_access][roles]"));
        roles.setAuthorityPrefix("ROLE_");
        var both = new JwtAuthenticationConverter();
        both.setJwtGrantedAuthoritiesConverter(new DelegatingJwtGrantedAuthoritiesConverter(
            new JwtGrantedAuthoritiesConverter(), roles));
        return both;
    }
}
