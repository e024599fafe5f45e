// src/main/java/example/Login.java
package example;

import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.oauth2.client.oidc.web.logout.OidcClientInitiatedLogoutSuccessHandler;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.security.web.authentication.SimpleUrlAuthenticationFailureHandler;

@Configuration
class Login {
    @Bean
    SecurityFilterChain loginChain(HttpSecurity http, ClientRegistrationRepository clients)
            throws Exception {
        var leave = new OidcClientInitiatedLogoutSuccessHandler(clients);
        leave.setPostLogoutRedirectUri("{baseUrl}/");  // as registered, with the slash
        return http
            .authorizeHttpRequests(r -> r
                .requestMatchers("/", "/refused", "/error").permitAll()
                .anyRequest().authenticated())
            .oauth2Login(o -> o
                .failureHandler(new SimpleUrlAuthenticationFailureHandler("/refused")))
            .logout(l -> l.logoutSuccessHandler(leave))
            .build();
    }
}
